"""Rules that are asked after the switch-off: is it gone, and does nothing refer to it any more?"""
