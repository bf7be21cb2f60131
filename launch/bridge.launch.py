# The bridge between ROS 2 and Tendon: rosbridge_server (the default) or ros2-web-bridge, on this robot. tendon.launch.py
# includes this file; alone it serves whoever runs Tendon by hand or by systemd.
#
#   ros2 launch launch/bridge.launch.py
#   ros2 launch launch/bridge.launch.py bridge:=ros2-web-bridge bridge_port:=9091

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, LogInfo, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

ARGUMENTS = [
    DeclareLaunchArgument(
        'bridge',
        default_value='rosbridge_server',
        choices=['rosbridge_server', 'ros2-web-bridge', 'none'],
        description='which bridge to start; none: it runs already',
    ),
    DeclareLaunchArgument('bridge_port', default_value='9090', description='TCP port of the bridge'),
    DeclareLaunchArgument(
        'bridge_address',
        default_value='127.0.0.1',
        description='address it listens on: who reaches it can publish on every topic. rosbridge_server only',
    ),
    DeclareLaunchArgument(
        'web_bridge_command',
        default_value='rosbridge',
        description='the program of the npm package ros2-web-bridge, e.g. node_modules/.bin/rosbridge',
    ),
]


def bridge(context):
    def value(name):
        return LaunchConfiguration(name).perform(context)

    port = int(value('bridge_port'))
    if value('bridge') == 'rosbridge_server':
        return [
            Node(
                package='rosbridge_server',
                executable='rosbridge_websocket',
                name='rosbridge_websocket',
                output='screen',
                parameters=[{'port': port, 'address': value('bridge_address')}],
            ),
            # Answers Tendon's question which ROS this is, and lists topics and types.
            Node(package='rosapi', executable='rosapi_node', name='rosapi', output='screen'),
        ]
    if value('bridge') == 'ros2-web-bridge':
        return [
            LogInfo(msg='ros2-web-bridge listens on every address of this machine and knows no token'),
            ExecuteProcess(
                name='ros2_web_bridge',
                cmd=[value('web_bridge_command'), '--port', str(port)],
                output='screen',
            ),
        ]
    return []


def generate_launch_description():
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=bridge)])
