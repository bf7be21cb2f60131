// Limits from a URDF: what is taken, what is refused, and how a robot file narrows it.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { loadRobotFile } from '../../src/robot/robot-file.js';
import { readUrdfLimits } from '../../src/robot/urdf.js';

const URDF = `<?xml version="1.0"?>
<robot name="two"><!-- <joint name="shoulder" type="fixed"/> -->
  <link name="base"/>
  <joint name="shoulder" type="revolute">
    <parent link="base"/><child link="upper"/>
    <limit lower="-1.5" upper='1.5' effort="10" velocity="2"/>
    <safety_controller soft_lower_limit="-1.4" soft_upper_limit="1.6" k_velocity="1"/>
  </joint>
  <joint name="wrist" type="continuous"><limit effort="1" velocity="4"/></joint>
  <joint name="base_joint" type="fixed"/>
  <joint name="slide" type="prismatic"><limit lower="0" upper="0.3" velocity="0.5" effort="1"/></joint>
  <joint name="finger" type="prismatic"><limit lower="0" upper="0.3" velocity="0.5"/><mimic joint="slide"/></joint>
  <transmission name="t"><joint name="shoulder"><hardwareInterface>x</hardwareInterface></joint></transmission>
</robot>`;
const read = (names: string[], text = URDF) => readUrdfLimits(text, names, 'two.urdf');

describe('a URDF', () => {
  test('gives the limits in the order asked for, the soft ones where they are tighter', () => {
    expect(read(['slide', 'shoulder'])).toEqual({
      lower: [0, -1.4],
      upper: [0.3, 1.5],
      velocity: [0.5, 2],
    });
  });

  const swap = (from: string, to: string) => URDF.replace(from, to);
  test.each([
    ['an unknown joint', ['elbow'], URDF, /no joint elbow; there are shoulder, wrist/],
    ['a fixed joint', ['base_joint'], URDF, /base_joint is fixed/],
    ['a joint that mimics', ['finger'], URDF, /finger mimics slide/],
    [
      'NaN',
      ['shoulder'],
      swap('-1.5', 'nan'),
      /shoulder, line 4: expected a number as lower of <limit>, got "nan"/,
    ],
    ['an empty number', ['shoulder'], swap('"-1.5"', '" "'), /lower of <limit>/],
    ['infinity', ['slide'], swap('upper="0.3"', 'upper="Infinity"'), /upper of <limit>, got "Infinity"/],
    ['a hexadecimal number', ['slide'], swap('upper="0.3"', 'upper="0x1"'), /upper of <limit>, got "0x1"/],
    [
      'a comma',
      ['slide'],
      swap('upper="0.3"', 'upper="0,3"'),
      /got "0,3"; write the decimal point as a point, as in 0\.5/,
    ],
    ['inverted limits', ['slide'], swap('lower="0"', 'lower="1"'), /lower below upper, got 1 and 0\.3/],
    [
      'a soft limit that is none',
      ['shoulder'],
      swap('"-1.4"', '"x"'),
      /soft_lower_limit of <safety_controller>, got "x"/,
    ],
    [
      'a xacro element',
      ['slide'],
      swap('<link name="base"/>', '<xacro:arm/>'),
      /xacro robot\.xacro > robot\.urdf/,
    ],
    ['an unexpanded value', ['slide'], swap('upper="0.3"', `upper="$\{reach}"`), /line 11: .*got xacro/],
    ['a joint twice', ['slide'], swap('name="wrist"', 'name="slide"'), /line 11: a second joint slide/],
    [
      'a mimic in a circle',
      ['finger'],
      swap('<mimic joint="slide"/>', '<mimic joint="finger"/>'),
      /in a circle/,
    ],
    ['a document type', ['slide'], `<!DOCTYPE robot [<!ENTITY a "b">]>${URDF}`, /a document type/],
    ['an entity of its own', ['slide'], swap('"0.3"', '"&big;"'), /the entity &big;/],
    ['a comment without an end', ['slide'], swap('-->', ''), /a comment that does not end in line 2/],
    ['an attribute twice', ['slide'], swap('lower="0"', 'lower="0" lower="1"'), /lower stands twice/],
    ['no element', ['slide'], '', /got no element at all/],
    ['another root', ['slide'], '<sdf></sdf>', /<robot> as its only root/],
    ['an end without a beginning', ['slide'], `${URDF}</robot>`, /<robot> as its only root/],
  ])('with %s is refused by name', (_, names, text, message) => {
    expect(() => read(names, text)).toThrow(message);
  });
});

describe('a URDF as exporters print it', () => {
  const swap = (from: string, to: string) => URDF.replace(from, to);
  test.each([
    ['xmlns:xacro that xacro left', swap('<robot', '<robot xmlns:xacro="http://www.ros.org/wiki/xacro"')],
    ['xacro in a comment', swap('<!-- ', '<!-- <xacro:property name="r" value="1"/> ')],
    [
      'a safety controller of zeros',
      swap('soft_lower_limit="-1.4" soft_upper_limit="1.6"', 'soft_lower_limit="0" soft_upper_limit="0"'),
    ],
    [
      'CDATA and a processing instruction',
      swap('<link name="base"/>', '<link name="b"><![CDATA[<a>]]></link><?x <b?>'),
    ],
  ])('%s is read', (_, text) => {
    expect(read(['slide', 'shoulder'], text).upper).toEqual([0.3, 1.5]);
  });

  test.each(['0', '-1', '-1.0'])('a velocity of %s is none', (velocity) => {
    const { velocity: found } = read(['shoulder', 'slide'], swap('velocity="2"', `velocity="${velocity}"`));
    expect(found).toEqual([undefined, 0.5]);
  });

  test('a joint without <limit>, and one without a range, leave it open', () => {
    const bare = swap('<limit lower="-1.5" upper=\'1.5\' effort="10" velocity="2"/>', '');
    expect(read(['shoulder'], bare)).toEqual({ lower: [-1.4], upper: [1.6], velocity: [undefined] });
    const zeros = swap('lower="0" upper="0.3"', 'lower="0" upper="0.0"');
    expect(read(['slide'], zeros)).toEqual({ lower: [undefined], upper: [undefined], velocity: [0.5] });
  });

  test('an absent end of a range is 0, as in URDF', () => {
    expect(read(['shoulder'], swap('lower="-1.5"', '')).lower).toEqual([0]);
  });

  test('one that mimics a mimic is refused with the joint that leads both', () => {
    const text = swap(
      '</robot>',
      '<joint name="tip" type="prismatic"><mimic joint="finger"/></joint></robot>',
    );
    expect(() => read(['tip'], text)).toThrow(/tip mimics slide/);
  });

  test('100,000 beginnings of anything are told apart from a URDF at once', () => {
    // A scanner that looks at everything again and again needs minutes: the test would run into its limit.
    for (const piece of [
      '<!--',
      '<',
      '<a ',
      '<a b="',
      '<a b=" ',
      '<![CDATA[',
      '<?',
      '<a><!--',
      '</',
      '<a>',
      '&',
    ]) {
      expect(() => read(['j'], `<robot name="r">${piece.repeat(100_000)}`)).toThrow(/expected a URDF/);
    }
  });
});

describe('a robot file with a URDF', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tendon-urdf-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'two.urdf'), URDF);
  const load = (joints: string, urdf = 'urdf: two.urdf,') => {
    const path = join(folder, 'two.yaml');
    writeFileSync(
      path,
      `{ name: two, bridge: { url: 'ws://127.0.0.1:9' }, rate_hz: 50, ${urdf} joints: ${joints},
         observation: [{ topic: /j, type: sensor_msgs/JointState, features: { position: { length: 2 } } }],
         command: { topic: /c, type: std_msgs/Float64MultiArray } }`,
    );
    return loadRobotFile(path).limits;
  };

  test('takes from it what it does not say itself, and may only be tighter', () => {
    expect(load('{ shoulder: {}, slide: {} }')).toEqual({
      lower: [-1.4, 0],
      upper: [1.5, 0.3],
      velocity: [2, 0.5],
    });
    expect(
      load('{ shoulder: { velocity: 1, acceleration: 5 }, slide: { velocity: 0.1, acceleration: 5 } }'),
    ).toEqual({
      lower: [-1.4, 0],
      upper: [1.5, 0.3],
      velocity: [1, 0.1],
      acceleration: [5, 5],
    });
    expect(() => load('{ shoulder: { velocity: 3 }, slide: {} }')).toThrow(
      /joints\.shoulder\.velocity: shoulder has 3, wider than 2/,
    );
    expect(() => load('{ shoulder: { lower: -2 }, slide: {} }')).toThrow(
      /joints\.shoulder\.lower: shoulder has -2, wider than -1\.4/,
    );
    expect(() => load('{ shoulder: { lower: 1.5 }, slide: {} }')).toThrow(/shoulder has 1\.5 not below 1\.5/);
  });

  test('gives the range of a joint that turns without end', () => {
    expect(() => load('{ shoulder: {}, wrist: {} }')).toThrow(
      /joints\.wrist\.lower: wrist turns without end/,
    );
    expect(load('{ shoulder: { lower: -1, upper: 1 }, wrist: { lower: -3, upper: 3 } }')).toEqual({
      lower: [-1, -3],
      upper: [1, 3],
      velocity: [2, 4],
    });
  });

  test('gives what the URDF leaves open, and says which joint lacks what', () => {
    writeFileSync(join(folder, 'open.urdf'), URDF.replace('velocity="2"', 'velocity="0"'));
    const urdf = 'urdf: open.urdf,';
    expect(() => load('{ shoulder: {}, slide: {} }', urdf)).toThrow(
      /joints\.shoulder\.velocity: shoulder has no velocity limit in open\.urdf; give it here/,
    );
    expect(load('{ shoulder: { velocity: 1.5 }, slide: {} }', urdf).velocity).toEqual([1.5, 0.5]);
  });

  test('says when it is not there, or when there is neither', () => {
    expect(() => load('{ shoulder: {}, slide: {} }', 'urdf: three.urdf,')).toThrow(
      /three\.urdf cannot be read: no such file.*relative to the robot file/,
    );
    expect(() => load('{ shoulder: { lower: 0, upper: 1 }, slide: { lower: 0, upper: 1 } }', '')).toThrow(
      /joints\.shoulder\.velocity: .*or urdf/,
    );
  });
});
