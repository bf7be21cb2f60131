// Builds the native core through cmake-js:
//   node native/build.mjs [--test [filter ...] [-- -without ...] | --bench [denormal] [jerk]] [--sanitize=LIST] [--cross=aarch64]
// Without --test: the addon, build/Release/tendon.node. With it: tendon_tests, built and run; with --bench:
// tendon_core_bench, which prints what must not cost much. Each set of
// sanitizers has a build folder of its own. One line per phase; a tool's output is shown only when it fails.
// TENDON_CUDA=on|off|auto: libtendon_cuda too; by itself where nvcc and an NVIDIA device are found.
import { spawn } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const here = fileURLToPath(new URL('.', import.meta.url));
const root = join(here, '..');
const { values, positionals } = parseArgs({
  options: {
    test: { type: 'boolean', default: false },
    bench: { type: 'boolean', default: false },
    sanitize: { type: 'string', default: '' },
    cross: { type: 'string', default: '' },
  },
  allowPositionals: true,
});
const sanitize = values.sanitize;
if (!/^(|address|undefined|address,undefined|thread)$/.test(sanitize))
  fail(`--sanitize: expected address, undefined, "address,undefined" or thread, got ${sanitize}`);
const cuda = process.env.TENDON_CUDA ?? 'auto';
if (!/^(on|off|auto)$/.test(cuda)) fail(`TENDON_CUDA: expected on, off or auto, got ${cuda}`);
// The tests for 64-bit Arm, built by Debian's cross compiler and run by qemu-user.
const cross = values.cross;
if (cross !== '' && (cross !== 'aarch64' || sanitize !== ''))
  fail(`--cross: expected aarch64 alone, got ${cross}`);
const target = values.bench ? 'tendon_core_bench' : 'tendon_tests';
const testing = values.test || values.bench || sanitize !== '' || cross !== '';
const out = join(
  root,
  'build',
  ...(testing ? [cross ? `test-${cross}` : sanitize ? `test-${sanitize.replace(',', '-')}` : 'test'] : []),
);
const label = testing ? `${target}${sanitize || cross ? ` (${sanitize || cross})` : ''}` : 'tendon.node';

function fail(message, output = '') {
  if (output) process.stderr.write(`${output}\n`);
  process.stderr.write(`native: ${message}\n`);
  process.exit(1);
}

/** Runs a command; resolves with its exit code and everything it said. */
function quietly([command, ...args], cwd) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (text) => (output += text));
    child.stderr.on('data', (text) => (output += text));
    child.on('error', (error) => resolve({ code: 1, output: String(error) }));
    child.on('close', (code) => resolve({ code: code ?? 1, output }));
  });
}

// cmake-js finds the generator, the compiler and the header folders; its commands are run here, because its
// own runner can only show everything or hide even the errors. native/package.json tells it that this is a
// Node-API addon, so it takes the headers from node-api-headers and never touches the network.
async function commands() {
  const { BuildSystem } = createRequire(import.meta.url)('cmake-js');
  const system = new BuildSystem({
    directory: here,
    out,
    config: 'Release',
    target: testing ? target : 'tendon',
    parallel: Math.min(2, cpus().length),
    noLog: true,
    cMakeOptions: {
      TENDON_TESTS: testing ? 'ON' : 'OFF',
      TENDON_SANITIZE: sanitize,
      TENDON_CUDA: sanitize || cross ? 'off' : cuda,
      ...(cross === ''
        ? {}
        : {
            CMAKE_SYSTEM_NAME: 'Linux',
            CMAKE_SYSTEM_PROCESSOR: cross,
            CMAKE_CXX_COMPILER: `${cross}-linux-gnu-g++`,
          }),
    },
  });
  const configure = await system.getConfigureCommand();
  // Its build folder is the current directory unless -B names it.
  return { configure: [...configure, '-B', out], build: await system.getBuildCommand() };
}

async function phase(name, command) {
  const began = Date.now();
  const result = await quietly(command, root);
  if (result.code === 0)
    console.log(`native: ${name} ${label}, ${((Date.now() - began) / 1000).toFixed(1)} s`);
  return result;
}

const { configure, build } = await commands().catch((error) =>
  fail(`${error.message}. Tendon's core needs cmake and g++ or clang++ (Debian: apt install cmake g++).`),
);
let configured = await phase('configured', configure);
if (configured.code !== 0 && existsSync(join(out, 'CMakeCache.txt'))) {
  // The folder may have been configured elsewhere or with a generator that has gone.
  rmSync(join(out, 'CMakeCache.txt'));
  rmSync(join(out, 'CMakeFiles'), { recursive: true, force: true });
  configured = await phase('configured', configure);
}
if (configured.code !== 0) fail('cmake could not configure the build', configured.output);
const built = await phase('built', build);
if (built.code !== 0) fail(`${label} did not compile`, built.output);
if (/warning:/.test(built.output)) process.stderr.write(`${built.output}\n`);
await buildCuda();

// The core is whole without it: only who asked for it fails with it.
async function buildCuda() {
  const known = await quietly(['cmake', '--build', out, '--target', 'help'], root);
  if (!/^tendon_cuda\b/m.test(known.output)) return;
  const began = Date.now();
  const result = await quietly(
    ['cmake', '--build', out, '--config', 'Release', '--target', 'tendon_cuda'],
    root,
  );
  const seconds = ((Date.now() - began) / 1000).toFixed(1);
  if (result.code === 0) console.log(`native: built libtendon_cuda.so, ${seconds} s`);
  else if (cuda === 'on') fail('libtendon_cuda.so did not compile', result.output);
  else
    process.stderr.write(
      `${result.output}\nnative: libtendon_cuda.so did not compile; the CPU runs everything\n`,
    );
}

if (testing) {
  const env = {
    ...process.env,
    UBSAN_OPTIONS: 'print_stacktrace=1',
    TSAN_OPTIONS: 'halt_on_error=1',
    // Another machine's emulator runs the CUDA emulator too slowly.
    ...(cross === '' ? {} : { TENDON_TEST_FIBERS: 'off' }),
  };
  const binary = join(out, target);
  const [program, ...args] =
    cross === '' ? [binary] : [`qemu-${cross}`, '-L', `/usr/${cross}-linux-gnu`, binary];
  const run = spawn(program, [...args, ...positionals], { stdio: 'inherit', env });
  run.on('error', (error) =>
    fail(`${program} cannot be run: ${error.message} (Debian: apt install qemu-user)`),
  );
  run.on('close', (code) => process.exit(code ?? 1));
}
