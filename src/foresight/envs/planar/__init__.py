"""Small worlds seen from above, whose goal is a picture: two rooms, and a puck to push."""
