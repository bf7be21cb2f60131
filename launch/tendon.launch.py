# A bridge, the robot's driver and Tendon, in one go. It begins as a dry run: everything but commands.
#
#   ros2 launch launch/tendon.launch.py policy:=models/mine robot:=launch/ur5e.yaml \
#     driver:=/opt/ros/jazzy/share/ur_robot_driver/launch/ur_control.launch.py ur_type:=ur5e robot_ip:=192.168.1.20
#
# Arguments that are not listed here (ur_type above) are the driver's. Nothing is started again by itself and nothing
# ends the others: the driver goes on holding the robot when Tendon has ended.

import os

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    LogInfo,
    OpaqueFunction,
)
from launch.launch_description_sources import AnyLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

HERE = os.path.dirname(os.path.abspath(__file__))

ARGUMENTS = [
    DeclareLaunchArgument('policy', description='checkpoint folder'),
    DeclareLaunchArgument('robot', description='robot file, e.g. launch/ur5e.yaml'),
    DeclareLaunchArgument(
        'dry_run',
        default_value='true',
        choices=['true', 'false'],
        description='false: commands are published and the robot moves',
    ),
    DeclareLaunchArgument(
        'position_key',
        default_value='',
        description="observation that holds the measured values of what is commanded; empty: the robot file's",
    ),
    DeclareLaunchArgument(
        'driver',
        default_value='',
        description="launch file of the robot's driver; empty: it runs already",
    ),
    DeclareLaunchArgument(
        'bridge_host',
        default_value='127.0.0.1',
        description='machine on which Tendon finds the bridge',
    ),
    DeclareLaunchArgument('tendon', default_value='tendon', description='the program'),
    DeclareLaunchArgument(
        'tendon_options',
        default_value='',
        description='more options of tendon run, separated by spaces, e.g. "--steps 3 --threads 2"',
    ),
]


def driver(context):
    path = LaunchConfiguration('driver').perform(context)
    if path == '':
        return [LogInfo(msg='no driver:=FILE was given: the robot is taken to have its own running')]
    if not os.path.isfile(path):
        raise RuntimeError(f'driver:={path} is not a file; expected the launch file of the robot')
    # An included file sees what was given, but what it requires must be handed to it by name.
    given = context.launch_configurations.items()
    return [IncludeLaunchDescription(AnyLaunchDescriptionSource(path), launch_arguments=list(given))]


def tendon(context):
    def value(name):
        return LaunchConfiguration(name).perform(context)

    command = [
        value('tendon'),
        'run',
        '--policy',
        value('policy'),
        '--robot',
        value('robot'),
        '--bridge',
        f'ws://{value("bridge_host")}:{value("bridge_port")}',
        *value('tendon_options').split(),
    ]
    if value('position_key') != '':
        command += ['--position-key', value('position_key')]
    if value('dry_run') != 'false':
        command.append('--dry-run')
    return [ExecuteProcess(name='tendon', cmd=command, output='screen')]


def generate_launch_description():
    return LaunchDescription(
        [
            *ARGUMENTS,
            IncludeLaunchDescription(AnyLaunchDescriptionSource(os.path.join(HERE, 'bridge.launch.py'))),
            OpaqueFunction(function=driver),
            OpaqueFunction(function=tendon),
        ]
    )
