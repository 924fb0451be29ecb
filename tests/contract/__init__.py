"""The storage contract as a suite: what every engine must do, and what each engine does on its own."""
