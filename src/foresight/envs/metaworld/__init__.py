"""Meta-World's fifty tasks of a Sawyer arm, over the package ``metaworld``."""
