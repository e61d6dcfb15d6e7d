"""The demo with an owner that cheats, as scripts/demo plays it. Nothing of it is in the product."""
