"""Study ``own-data``: any folder of recordings to a policy that acts, by public commands alone."""
