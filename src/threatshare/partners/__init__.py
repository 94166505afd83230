"""Partners: who they are and what is due (``register``), and what passed between us (``checkin``). Both only read."""
