"""Recipe ``lewm``: LeWorldModel learned from pixels, and planned with towards goal pictures."""
