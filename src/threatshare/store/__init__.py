"""Where everything is kept: what everybody says, what is served, and what this node did."""
