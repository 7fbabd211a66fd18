"""What operators, the clock and the add-on ask for."""
