"""The part of ROS 2's `launch` that Tendon's launch files use, by its documented behaviour; describe.py runs them."""


class LaunchDescription:
    def __init__(self, initial_entities=None):
        self.entities = list(initial_entities or [])


class LaunchContext:
    def __init__(self):
        self.launch_configurations = {}
        self.arguments = []
        self.started = []
