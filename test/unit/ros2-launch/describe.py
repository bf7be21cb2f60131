"""describe.py FILE [NAME:=VALUE ...]: runs a launch file on the stub and prints, as JSON, what it declares and starts."""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / 'stub'))
sys.dont_write_bytecode = True

from launch import LaunchContext  # noqa: E402
from launch.actions import IncludeLaunchDescription  # noqa: E402
from launch.launch_description_sources import AnyLaunchDescriptionSource  # noqa: E402


def run(entities, context):
    for entity in entities:
        run(entity.execute(context) or [], context)


def main(path, *arguments):
    context = LaunchContext()
    given = [argument.split(':=', 1) for argument in arguments]
    try:
        run([IncludeLaunchDescription(AnyLaunchDescriptionSource(path), launch_arguments=given)], context)
    except RuntimeError as error:
        print(json.dumps({'error': str(error)}))
        return
    print(json.dumps({'arguments': context.arguments, 'started': context.started}))


main(*sys.argv[1:])
