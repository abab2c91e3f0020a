"""Recipe ``jepa-design``: choices in a world model of pictures, each at equal compute."""
