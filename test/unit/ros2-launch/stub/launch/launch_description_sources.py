"""Launch files in launch files; those of the tests are Python only."""

import runpy

from launch.substitutions import text


class AnyLaunchDescriptionSource:
    def __init__(self, launch_file_path):
        self.path = launch_file_path

    def load(self, context):
        module = runpy.run_path(text(context, self.path))
        return module['generate_launch_description']().entities
