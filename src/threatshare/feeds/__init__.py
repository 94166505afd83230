"""Pull what partners saw: clients that bring raw objects page by page, over connections that nothing can hold up."""
