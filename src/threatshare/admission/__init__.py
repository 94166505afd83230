"""What comes from others, let in: objects and rows of lists, within what a run may do.

Feeds and partners' inboxes share it. Each call is one transaction at most, with whatever must be stored with it.
"""
