"""Reads what our sensors saw: findings with the role of every value in them."""
