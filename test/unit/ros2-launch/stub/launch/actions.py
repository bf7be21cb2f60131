"""Each action does on `execute` what the real one would, except that a process is noted and not started."""

from launch.substitutions import text


class DeclareLaunchArgument:
    def __init__(self, name, *, default_value=None, description=None, choices=None):
        self.name, self.default_value, self.choices = name, default_value, choices
        self.description = description

    def execute(self, context):
        context.arguments.append(
            {
                'name': self.name,
                'default': self.default_value,
                'choices': self.choices,
                'description': self.description,
            }
        )
        if self.name not in context.launch_configurations:
            context.launch_configurations[self.name] = text(context, self.default_value)
        given = context.launch_configurations[self.name]
        if self.choices is not None and given not in self.choices:
            raise RuntimeError(f'Argument "{self.name}" provided value "{given}" is not valid: {self.choices}')


class OpaqueFunction:
    def __init__(self, *, function):
        self.function = function

    def execute(self, context):
        return self.function(context)


class IncludeLaunchDescription:
    def __init__(self, launch_description_source, *, launch_arguments=None):
        self.source, self.given = launch_description_source, dict(launch_arguments or [])

    def execute(self, context):
        entities = self.source.load(context)
        # As the real one: what the file requires must be handed over here, even where a configuration has it.
        for entity in entities:
            if isinstance(entity, DeclareLaunchArgument) and entity.default_value is None:
                if entity.name not in self.given:
                    raise RuntimeError(f"Included launch description missing required argument '{entity.name}'")
        context.launch_configurations.update(self.given)
        return entities


class LogInfo:
    def __init__(self, *, msg):
        self.msg = msg

    def execute(self, context):
        context.started.append({'log': text(context, self.msg)})


class ExecuteProcess:
    def __init__(self, *, cmd, name=None, output='log'):
        self.cmd, self.name, self.output = cmd, name, output

    def execute(self, context):
        command = [text(context, part) for part in self.cmd]
        context.started.append({'process': self.name, 'command': command, 'output': self.output})
