"""A policy on one machine, the robot on another: server, thin client, fixed-rate loop.

``client.py`` needs NumPy, msgpack and websockets alone: the one file that a robot's computer gets.
"""
