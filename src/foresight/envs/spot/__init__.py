"""Boston Dynamics' Spot after MuJoCo Playground's joystick task, and a gait that walks."""
