"""Real faults: killed, stopped and starved processes, power cuts, clocks that jump, and queues that grow.

A short run of each belongs to every run of the tests; the long ones are run by ``pytest -m long``. What is
chosen at random follows from a seed, which is printed: ``FAULTS_SEED=1234`` repeats it.
"""
