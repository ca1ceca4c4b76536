"""What runs next, and why not this one: order, packing, hours, names, admission? Pure."""
