"""The training engine of all networks: one skorch net, its callbacks, checkpoints and settings."""
