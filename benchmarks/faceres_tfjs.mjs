// Runs faceres.json in TensorFlow.js itself: what facelab's own network is compared with.
// node faceres_tfjs.mjs FOLDER INPUT OUTPUT, in a folder with TensorFlow.js under node_modules.
// INPUT holds float32 pictures of 224 x 224 x 3 as the model takes them; OUTPUT becomes JSON.
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const [folder, input, output] = process.argv.slice(2);
const here = createRequire(path.join(process.cwd(), 'x.js'));
const tf = here('@tensorflow/tfjs-core');
here('@tensorflow/tfjs-backend-cpu');
const { loadGraphModel } = here('@tensorflow/tfjs-converter');

const read = (file) => {
  const bytes = fs.readFileSync(file);
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
};

const json = JSON.parse(fs.readFileSync(path.join(folder, 'faceres.json'), 'utf8'));
const model = await loadGraphModel({
  load: async () => ({
    ...json,
    weightSpecs: json.weightsManifest[0].weights,
    weightData: read(path.join(folder, 'faceres.bin')),
  }),
});
const pictures = new Float32Array(read(input));
const numbers = 224 * 224 * 3;
const outputs = [];
for (let start = 0; start < pictures.length; start += numbers) {
  const picture = tf.tensor(pictures.subarray(start, start + numbers), [1, 224, 224, 3]);
  const names = ['global_pooling/Mean', 'gender_pred/Sigmoid', 'age_pred/Softmax'];
  const [features, male, years] = model
    .execute({ input_1: picture }, names)
    .map((tensor) => Array.from(tensor.dataSync()));
  outputs.push({ features, male: male[0], years });
}
fs.writeFileSync(output, JSON.stringify({ version: tf.version_core, outputs }));
