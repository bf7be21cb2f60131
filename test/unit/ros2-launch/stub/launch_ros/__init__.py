"""The part of `launch_ros` that Tendon's launch files use."""
