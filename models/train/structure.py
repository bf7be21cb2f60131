"""What a task's observation is made of, for its world model: which features are learnt, which of them are 0 or 1, and which
follow from the rest (the `follows` of the `ensemble` family). Places are those of the features joined in the task's order."""

# Joints and velocities (0-11), the tip (12-14), whether the cup holds (20); post and goal stand still, seen from the tip.
ARM = {
    "predicted": [*range(15), 20],
    "switches": [20],
    "follows": [
        {"as": "offset", "at": 15, "of": 12}, {"as": "offset", "at": 16, "of": 13},
        {"as": "norm", "at": 17, "of": [15, 16], "floor": 1e-6},
        {"as": "ratio", "at": 18, "of": 15, "by": 17}, {"as": "ratio", "at": 19, "of": 16, "by": 17},
        {"as": "offset", "at": 21, "of": 12}, {"as": "offset", "at": 22, "of": 13},
        {"as": "norm", "at": 23, "of": [21, 22], "floor": 1e-3},
        {"as": "ratio", "at": 24, "of": 21, "by": 23}, {"as": "ratio", "at": 25, "of": 22, "by": 23},
        {"as": "tanh", "at": 26, "of": 21, "scale": 0.04}, {"as": "tanh", "at": 27, "of": 22, "scale": 0.04},
    ],
}

STRUCTURES = {"arm": ARM}
