"""C* given away: the card that says what it is, and the hub that it is sent to."""
