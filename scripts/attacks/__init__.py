"""What an attacker gets without a defence, and with it: what scripts/attack runs."""
