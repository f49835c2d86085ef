"""The same tasks on other machines: a pool whose slots are those of a Ray cluster.

    pool.py      ClusterPool, the `workers.Pool` that a coordinator has: starts the bridge, and starts it again
    bridge.py    a child process in which alone Ray lives: it prints, takes over signals, and may abort
    slots.py     in the bridge: the slots of the cluster, what each does, which is lost
    parcels.py   what one call carries there and back: tasks, and the bytes of the files that they name
    agent.py     on a machine: one slot, which is a `LocalPool` of one child

Promises: what holds of a pool on one machine (`workers.Pool`); the ledger and the outputs stay the coordinator's, so that a
machine, or all of them, may be gone at any moment; what a machine writes is whole on the coordinator's disk before it is
reported. Refuses machines that would give other pixels. Does not start or stop a cluster.
"""
