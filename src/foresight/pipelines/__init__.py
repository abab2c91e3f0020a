"""Roads through several rooms, one for each verb that needs one."""
