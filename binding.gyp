# npm never needs this file: package.json's install script runs native/build.mjs, without Python. It is here
# for `node-gyp rebuild`, which it hands over to the same build.
{
  "targets": [
    {
      "target_name": "tendon",
      "type": "none",
      "actions": [
        {
          "action_name": "cmake_js",
          "inputs": ["native/CMakeLists.txt"],
          "outputs": ["build/Release/tendon.node"],
          "action": ["node", "native/build.mjs"]
        }
      ]
    }
  ]
}
