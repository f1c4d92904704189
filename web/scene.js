// Unpacks the scene document that Python writes (src/pose2mesh/visualization/scene.py) into arrays for WebGL.

/** The document's faces as indices. */
export async function unpackFaces(scene) {
  const bytes = await inflate(scene.faces);
  return scene.vertices > 65535 ? new Uint32Array(bytes) : new Uint16Array(bytes);
}

/** A frame with `positions` for every person: metres, Y up, the camera at the origin looking along -Z. */
export async function unpackFrame(frame) {
  const people = frame.people.map(async (person) => ({
    ...person,
    positions: dequantise(new Uint8Array(await inflate(person.mesh.data)), person.mesh),
  }));
  return { ...frame, people: await Promise.all(people) };
}

/**
 * Six planes of bytes (low and high of x, y and z), each a running difference along the vertices: neighbours are near
 * one another, so that the differences are small and deflate well.
 */
function dequantise(bytes, { low, step }) {
  const count = bytes.length / 6;
  const positions = new Float32Array(3 * count);
  for (let axis = 0; axis < 3; axis++) {
    const lows = bytes.subarray(2 * axis * count);
    const highs = bytes.subarray((2 * axis + 1) * count);
    let value = 0;
    for (let vertex = 0; vertex < count; vertex++) {
      value = (value + lows[vertex] + 256 * highs[vertex]) & 0xffff;
      positions[3 * vertex + axis] = low[axis] + step[axis] * value;
    }
  }
  return positions;
}

async function inflate(text) {
  const binary = atob(text);
  const bytes = Uint8Array.from(binary, (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}
