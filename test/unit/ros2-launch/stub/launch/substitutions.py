"""Values that are known when a launch file runs."""


class LaunchConfiguration:
    def __init__(self, variable_name):
        self.variable_name = variable_name

    def perform(self, context):
        if self.variable_name not in context.launch_configurations:
            raise RuntimeError(f"launch configuration '{self.variable_name}' does not exist")
        return context.launch_configurations[self.variable_name]


def text(context, value):
    if isinstance(value, str):
        return value
    if isinstance(value, LaunchConfiguration):
        return value.perform(context)
    raise TypeError(f'expected text or a substitution, got {value!r}')
