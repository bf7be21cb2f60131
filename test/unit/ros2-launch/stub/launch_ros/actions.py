"""A ROS 2 node: a package, its program and its parameters."""


class Node:
    def __init__(self, *, package, executable, name=None, output='log', parameters=None):
        self.started = {
            'package': package,
            'executable': executable,
            'name': name,
            'output': output,
            'parameters': parameters or [],
        }

    def execute(self, context):
        context.started.append(self.started)
