"""Rules about the ways back that people walk, as the inventory declares them."""
