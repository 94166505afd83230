"""Python reads this at start: the commands that tests run speak to loopback only, as the tests do."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent))

import loopback_only

loopback_only.install()
sys.path.pop()
