"""``python -m threatshare``."""

from threatshare.cli import main

if __name__ == "__main__":
    main()
