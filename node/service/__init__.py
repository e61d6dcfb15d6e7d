"""The daemon as a service of the user's: systemd's unit, launchd's agent, and what installs them.

unit.py and agent.py are texts; installing.py writes them and speaks to systemctl or launchctl. It
imports console's Failure, control's codes and home/, and no other room.
"""
