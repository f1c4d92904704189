// The 3D view: people, their joints and the image behind them, controlled by mouse, touch and keyboard.

import {
  AmbientLight, BufferAttribute, BufferGeometry, Color, DirectionalLight, DoubleSide, Float32BufferAttribute, Group,
  HemisphereLight, InstancedMesh, LineBasicMaterial, LineSegments, Matrix4, Mesh, MeshBasicMaterial,
  MeshStandardMaterial, PerspectiveCamera, PlaneGeometry, Raycaster, Scene, SphereGeometry, Box3, Spherical,
  SRGBColorSpace, Texture, Vector2, Vector3, WebGLRenderer, CanvasTexture,
} from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";

const FIELD_OF_VIEW = 32; // degrees, across the shorter side of the view
const TURN = Math.PI / 18; // of an arrow key
const ZOOM = 1.15; // of + and -
const LEAST_CONFIDENCE = 0.02; // joints below it are not drawn

/** Where the view looks from: angles about the vertical and from straight above, in radians. */
export const SIDES = {
  Front: { turn: 0, tilt: Math.PI / 2 - 0.05 },
  Left: { turn: Math.PI / 2, tilt: Math.PI / 2 - 0.05 },
  Back: { turn: Math.PI, tilt: Math.PI / 2 - 0.05 },
  Right: { turn: -Math.PI / 2, tilt: Math.PI / 2 - 0.05 },
  Above: { turn: 0, tilt: 0.15 },
};
const FIRST_SIDE = { turn: -0.45, tilt: Math.PI / 2 - 0.16 };

export class Viewer {
  /**
   * Throws where the browser has no WebGL.
   *
   * @param host element to fill
   * @param faces vertex indices, three a face, the same for everyone
   * @param bones pairs of joint indices
   * @param margin around what is looked at, as a factor of its size
   * @param onpoint called with what is under the pointer: { person, joint, x, y }, or null
   */
  constructor(host, faces, bones, { margin, onpoint }) {
    this.host = host;
    this.margin = margin;
    this.faces = new BufferAttribute(faces, 1);
    this.bones = bones;
    this.shown = { bodies: true, joints: true, picture: true };
    this.renderer = new WebGLRenderer({ antialias: true, alpha: true });
    this.renderer.setPixelRatio(Math.min(window.devicePixelRatio, 2));
    const canvas = this.renderer.domElement;
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", "3D view. Arrow keys turn it, plus and minus zoom, Home resets.");
    host.append(canvas);

    this.scene = new Scene();
    this.camera = new PerspectiveCamera(FIELD_OF_VIEW, 1, 0.01, 1000);
    this.scene.add(this.camera, new AmbientLight(0xffffff, 0.5), new HemisphereLight(0xffffff, 0x8a8f98, 1.2));
    const key = new DirectionalLight(0xffffff, 2.0);
    key.position.set(-0.6, 1, 0.8); // attached to the camera, so that every side is lit
    this.camera.add(key, key.target);
    key.target.position.set(0, 0, -1);
    this.people = new Group();
    this.scene.add(this.people);
    this.bodies = [];
    this.dots = [];
    this.backdrop = null;
    this.shadow = shadowTexture();

    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.enableDamping = !matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.controls.dampingFactor = 0.12;
    this.controls.addEventListener("change", () => this.draw());
    canvas.addEventListener("keydown", (event) => this.onkey(event));
    this.listenToPointer(canvas, onpoint);
    new ResizeObserver(() => this.resize()).observe(host);
    this.resize();
  }

  /** Shows a frame that `unpackFrame` gave; the first one is also framed. */
  show(frame, picture) {
    this.clear();
    this.frame = frame;
    for (const person of frame.people) this.addPerson(person);
    if (frame.backdrop && picture) this.addBackdrop(frame.backdrop, picture);
    this.applyShown();
    if (!this.framed && frame.people.length) this.look(FIRST_SIDE);
    this.draw();
  }

  /** Lights up one person, or nobody for null. */
  light(person) {
    this.bodies.forEach((body, index) => body.material.emissive.setHex(index === person ? 0x2b2b2b : 0));
    this.draw();
  }

  /** Turns parts on and off: { bodies, joints, picture }. */
  toggle(parts) {
    Object.assign(this.shown, parts);
    this.applyShown();
    this.draw();
  }

  /** Looks at everyone, or at one person, from a side of `SIDES`, as close as they fit. */
  look({ turn, tilt }, person = null) {
    const box = this.extent(person);
    const centre = box.getCenter(new Vector3());
    this.camera.up.set(0, 1, 0);
    this.camera.fov = FIELD_OF_VIEW / Math.min(1, Math.max(0.6, this.camera.aspect));
    this.camera.updateProjectionMatrix();
    this.camera.position.setFromSpherical(new Spherical(1, tilt, turn)).add(centre);
    this.camera.lookAt(centre);
    this.camera.updateMatrixWorld();
    this.aim(centre, this.distanceToFit(box, centre));
  }

  /** Moves to the camera of the image, so that people and image coincide. */
  lookFromCamera() {
    if (!this.backdrop) return this.look(SIDES.Front);
    const corners = this.backdropCorners();
    const middle = corners.reduce((sum, corner) => sum.add(corner), new Vector3()).divideScalar(4);
    this.camera.position.set(0, 0, 0);
    // The camera may have been tilted to a side: upright is then the side of the image, not the vertical.
    this.camera.up.subVectors(corners[0], corners[2]).normalize();
    this.camera.lookAt(middle);
    this.camera.updateMatrixWorld();
    const spread = corners.map((corner) => this.camera.worldToLocal(corner)).map(({ x, y, z }) =>
      Math.max(Math.abs(y / z), Math.abs(x / z) / this.camera.aspect));
    this.camera.fov = (Math.atan(Math.max(...spread) * 1.03) * 360) / Math.PI;
    this.camera.updateProjectionMatrix();
    const distance = this.extent(null).getCenter(new Vector3()).length();
    this.aim(middle.setLength(distance), distance);
  }

  /** Puts the camera at `distance` from `centre`, on the line between them, to turn about `centre`. */
  aim(centre, distance) {
    this.camera.position.sub(centre).setLength(distance).add(centre);
    this.controls.target.copy(centre);
    this.controls.minDistance = distance * 0.08;
    this.controls.maxDistance = distance * 12;
    this.framed = true;
    this.controls.update();
    this.draw();
  }

  /** How far from `centre` the camera must be, turned as it is, for the corners of a box to be in the view. */
  distanceToFit(box, centre) {
    const high = Math.tan((this.camera.fov * Math.PI) / 360);
    const wide = high * this.camera.aspect;
    const [right, up, back] = [new Vector3(), new Vector3(), new Vector3()];
    this.camera.matrixWorld.extractBasis(right, up, back);
    let distance = 0;
    for (let corner = 0; corner < 8; corner++) {
      const [x, y, z] = ["x", "y", "z"].map((axis, bit) => (corner & (1 << bit) ? box.max : box.min)[axis]);
      const point = new Vector3(x, y, z).sub(centre);
      const side = Math.max(Math.abs(point.dot(right)) / wide, Math.abs(point.dot(up)) / high);
      distance = Math.max(distance, this.margin * side + point.dot(back));
    }
    return distance;
  }

  reset(person = null) {
    this.look(FIRST_SIDE, person);
  }

  /** Turns by steps of ten degrees to the right and up. */
  turn(right, up) {
    const offset = this.camera.position.clone().sub(this.controls.target);
    const place = new Spherical().setFromVector3(offset);
    place.theta += right * TURN;
    place.phi -= up * TURN;
    place.makeSafe();
    this.camera.position.setFromSpherical(place).add(this.controls.target);
    this.controls.update();
    this.draw();
  }

  /** Comes closer by steps, or goes away where they are negative. */
  zoom(steps) {
    const offset = this.camera.position.clone().sub(this.controls.target).multiplyScalar(ZOOM ** -steps);
    offset.clampLength(this.controls.minDistance, this.controls.maxDistance);
    this.camera.position.copy(this.controls.target).add(offset);
    this.controls.update();
    this.draw();
  }

  /** What the camera looks from, for tests: radians. */
  angles() {
    return { turn: this.controls.getAzimuthalAngle(), tilt: this.controls.getPolarAngle() };
  }

  addPerson(person) {
    const geometry = new BufferGeometry();
    geometry.setAttribute("position", new Float32BufferAttribute(person.positions, 3));
    geometry.setIndex(this.faces);
    geometry.computeVertexNormals();
    geometry.computeBoundingBox();
    const material = new MeshStandardMaterial({ color: person.colour, roughness: 0.62, metalness: 0, transparent: true });
    const body = new Mesh(geometry, material);
    const dots = this.makeJoints(person);
    this.bodies.push(body);
    this.dots.push(dots);
    this.people.add(body, dots, this.makeShadow(geometry));
  }

  makeJoints(person) {
    const group = new Group();
    const given = person.confidence.map((value) => value > LEAST_CONFIDENCE);
    const ends = this.bones.filter(([a, b]) => given[a] && given[b]).flatMap(([a, b]) => [person.joints[a], person.joints[b]]);
    const line = new BufferGeometry().setFromPoints(ends.map((point) => new Vector3(...point)));
    const onTop = { depthTest: false, transparent: true };
    const bones = new LineSegments(line, new LineBasicMaterial({ color: 0xffffff, opacity: 0.75, ...onTop }));
    bones.renderOrder = 2;
    const rims = this.makeDots(person, 0.021, () => new Color(0x20242b), onTop, 3);
    const dots = this.makeDots(person, 0.015, (index) => confidenceColour(person.confidence[index]), onTop, 4);
    group.add(bones, rims, dots);
    return group;
  }

  makeDots(person, radius, colour, material, order) {
    const dots = new InstancedMesh(new SphereGeometry(radius, 16, 12), new MeshBasicMaterial(material), person.joints.length);
    person.joints.forEach((point, index) => {
      dots.setMatrixAt(index, new Matrix4().setPosition(...point));
      dots.setColorAt(index, colour(index));
    });
    dots.renderOrder = order;
    return dots;
  }

  makeShadow(geometry) {
    const { min, max } = geometry.boundingBox;
    const size = Math.max(max.x - min.x, max.z - min.z) * 1.5;
    const material = new MeshBasicMaterial({ map: this.shadow, transparent: true, depthWrite: false, side: DoubleSide });
    const shadow = new Mesh(new PlaneGeometry(size, size), material);
    shadow.rotation.x = -Math.PI / 2;
    shadow.position.set((min.x + max.x) / 2, min.y - 0.01, (min.z + max.z) / 2);
    return shadow;
  }

  addBackdrop(corners, picture) {
    const geometry = new BufferGeometry();
    geometry.setAttribute("position", new Float32BufferAttribute(corners.flat(), 3));
    geometry.setAttribute("uv", new Float32BufferAttribute([0, 1, 1, 1, 0, 0, 1, 0], 2));
    geometry.setIndex([0, 2, 1, 1, 2, 3]);
    const texture = new Texture(picture);
    texture.colorSpace = SRGBColorSpace;
    texture.needsUpdate = true;
    // Visible from the front only: from behind it would hide the people.
    const material = new MeshBasicMaterial({ map: texture, transparent: true, opacity: 0.92 });
    this.backdrop = new Mesh(geometry, material);
    this.backdrop.renderOrder = -1;
    this.scene.add(this.backdrop);
  }

  applyShown() {
    for (const body of this.bodies) body.visible = this.shown.bodies;
    for (const dots of this.dots) dots.visible = this.shown.joints;
    if (this.backdrop) this.backdrop.visible = this.shown.picture;
  }

  clear() {
    const old = [...this.people.children, ...(this.backdrop ? [this.backdrop] : [])];
    this.people.clear();
    if (this.backdrop) this.scene.remove(this.backdrop);
    for (const part of old) {
      part.traverse((child) => {
        child.geometry?.dispose();
        if (child.material?.map !== this.shadow) child.material?.map?.dispose();
        child.material?.dispose();
      });
    }
    this.bodies = [];
    this.dots = [];
    this.backdrop = null;
  }

  extent(person) {
    const box = new Box3();
    const bodies = person === null ? this.bodies : [this.bodies[person]];
    for (const body of bodies) box.union(body.geometry.boundingBox);
    return box;
  }

  backdropCorners() {
    const { position } = this.backdrop.geometry.attributes;
    return [0, 1, 2, 3].map((index) => new Vector3().fromBufferAttribute(position, index));
  }

  onkey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const actions = {
      ArrowLeft: () => this.turn(-1, 0),
      ArrowRight: () => this.turn(1, 0),
      ArrowUp: () => this.turn(0, 1),
      ArrowDown: () => this.turn(0, -1),
      "+": () => this.zoom(1),
      "=": () => this.zoom(1),
      "-": () => this.zoom(-1),
      Home: () => this.reset(),
    };
    const action = actions[event.key];
    if (!action || !this.bodies.length) return;
    event.preventDefault();
    action();
  }

  listenToPointer(canvas, onpoint) {
    let latest = null;
    let pressed = null;
    canvas.addEventListener("pointermove", (event) => {
      if (event.buttons) return onpoint(null);
      if (latest === null) requestAnimationFrame(() => { onpoint(this.under(latest)); latest = null; });
      latest = event;
    });
    canvas.addEventListener("pointerleave", () => onpoint(null));
    canvas.addEventListener("pointerdown", (event) => { pressed = [event.clientX, event.clientY]; });
    canvas.addEventListener("pointerup", (event) => {
      const still = pressed && Math.hypot(event.clientX - pressed[0], event.clientY - pressed[1]) < 5;
      if (still) onpoint(this.under(event)); // a finger does not hover: it taps
    });
  }

  /** The person, and the joint if one is within 12 pixels, at a pointer event. */
  under(event) {
    const box = this.renderer.domElement.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    if (this.shown.joints) {
      const joint = this.jointNear(x, y, box);
      if (joint) return { ...joint, x, y };
    }
    const ray = new Raycaster();
    ray.setFromCamera(new Vector2((x / box.width) * 2 - 1, 1 - (y / box.height) * 2), this.camera);
    const hit = this.shown.bodies ? ray.intersectObjects(this.bodies, false)[0] : null;
    return hit ? { person: this.bodies.indexOf(hit.object), joint: null, x, y } : null;
  }

  jointNear(x, y, box) {
    let best = null;
    let nearest = 12;
    this.frame?.people.forEach((person, index) => person.joints.forEach((point, joint) => {
      const projected = new Vector3(...point).project(this.camera);
      const distance = Math.hypot(((projected.x + 1) / 2) * box.width - x, ((1 - projected.y) / 2) * box.height - y);
      if (projected.z < 1 && distance < nearest) [best, nearest] = [{ person: index, joint }, distance];
    }));
    return best;
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.host;
    if (!width || !height) return;
    this.renderer.setSize(width, height);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    this.draw();
  }

  /** Draws once, at the next frame of the screen; nothing runs while nothing moves. */
  draw() {
    if (this.drawing) return;
    this.drawing = true;
    requestAnimationFrame(() => {
      this.drawing = false;
      this.controls.update(); // continues a released turn, and requests the next redraw
      this.renderer.render(this.scene, this.camera);
      this.host.dataset.drawn = Number(this.host.dataset.drawn ?? 0) + 1;
    });
  }
}

/** From red over amber to white. */
function confidenceColour(confidence) {
  if (confidence <= LEAST_CONFIDENCE) return new Color(0x8a8f98);
  return new Color(0xd9480f).lerp(new Color(0xffffff), Math.min(1, confidence));
}

function shadowTexture() {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 128;
  const pen = canvas.getContext("2d");
  const fade = pen.createRadialGradient(64, 64, 0, 64, 64, 64);
  fade.addColorStop(0, "rgba(10, 14, 22, 0.42)");
  fade.addColorStop(0.5, "rgba(10, 14, 22, 0.16)");
  fade.addColorStop(1, "rgba(10, 14, 22, 0)");
  pen.fillStyle = fade;
  pen.fillRect(0, 0, 128, 128);
  return new CanvasTexture(canvas);
}
