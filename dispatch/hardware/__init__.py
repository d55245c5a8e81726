"""What is known of the devices' speed, measured or assumed, and what a call is estimated to take with it."""
