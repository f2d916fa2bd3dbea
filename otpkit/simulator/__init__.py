"""The simulator: whole days of honest users and attackers, through the real flows and scripts, with a moved clock.

`otpkit simulate` runs it. A figure of a run depends on its scenario, its rule and its seed alone.
"""
