"""What each PAPER preset takes: command, data, memory and hours, for `facelab train --explain`.

Counted: operations, parameters and memory, by `engine.costs` on the CPU. Reported: what a paper
says. Everything else is an estimate, and says so: hours are

    steps x max(batch x operations an image / (share x peak), the least time of a step)

with the peak of NVIDIA's data sheet. The share of it, `SHARE`, and the least time, `LEAST_S`, which
small networks take because a GPU waits for Python to issue the next operation, are assumed: these
networks have not been measured on a GPU. `benchmarks/paper_presets.py` does it.
"""

from dataclasses import dataclass

from facelab.engine.costs import PEAKS, seconds
from facelab.errors import ParameterError

SHARE = 0.2  # of a GPU's peak in bfloat16: assumed
LEAST_S = 0.02  # of a step on one GPU: assumed
HOUR_S, GB, MB = 3600.0, 1e9, 1e6


@dataclass(frozen=True)
class Plan:
    """One preset. `steps` of `batch` images, and `why` so many.

    `gflop` (an image in a mean step, forward and backward) and `parameters` in millions are
    counted, as are `fixed_gb` and, for each image of the batch, `saved_mb`, both in float32.
    `needs` says what data it takes, `reported` what its paper says of hours and hardware.
    """

    method: str
    data: str
    steps: int
    batch: int
    why: str
    gflop: float
    parameters: float
    fixed_gb: float
    saved_mb: float
    needs: str
    reported: str = "nothing"
    options: str = ""
    remark: str = ""

    @property
    def command(self) -> str:
        """The command for one GPU."""
        more = f" {self.options}" if self.options else ""
        return (
            f"facelab train {self.method} --preset paper --data {self.data} --steps {self.steps} "
            f"--precision bf16 --channels-last{more} -o runs/{self.method.split(':')[0]}"
        )

    @property
    def memory_gb(self) -> float:
        """What one GPU with the whole batch needs at least, in float32."""
        return self.fixed_gb + self.batch * self.saved_mb * MB / GB

    def hours(self, device: str = "H200", share: float = SHARE) -> float:
        """Return an estimate: the time on one GPU of a device at a share of its bfloat16 peak."""
        step_s = seconds(self.batch * self.gflop * 1e9, device, share=share)
        return self.steps * max(LEAST_S, step_s) / HOUR_S

    def explain(self) -> str:
        """Return all of it in words, with the arithmetic of what is estimated."""
        peaks = " or ".join(
            f"{self.hours(device):,.1f} h ({device}, {PEAKS[device]['bf16'] / 1e12:,.0f} TFLOP/s)"
            for device in ("H200", "A100")
        )
        lines = [
            f"{self.method}, preset paper",
            f"  command     {self.command}",
            f"  data        {self.needs}",
            f"  steps       {self.steps:,} of {self.batch} images: {self.why}",
            f"  parameters  {self.parameters:.2f} million are trained (counted)",
            f"  memory      at least {self.memory_gb:.1f} GB in float32: {self.fixed_gb:.2f} GB + "
            f"{self.batch} x {self.saved_mb:.1f} MB (counted); less with --accumulate",
            f"  hours       {peaks}: an estimate, {self.steps:,} x {self.batch} x "
            f"{self.gflop:,.2f} GFLOP (counted) at {SHARE:.0%} of the peak (assumed), and at least "
            f"{LEAST_S * 1000:.0f} ms a step (assumed)",
            f"  reported    {self.reported}",
        ]
        return "\n".join([*lines, *([f"  remark      {self.remark}"] if self.remark else [])])


PLANS = {
    plan.method.split(":")[0]: plan
    for plan in (
        Plan(
            "book-embedder",
            "casia-webface",
            57_940,
            256,
            "30 epochs of 494,414 pictures; no paper's, ours",
            0.86, 4.67, 0.09, 6.1,
            "faces with people, framed like book64; the classifier has as many people as they do",
        ),
        Plan(
            "dcgan",
            "celeba",
            31_791,
            128,
            "25 epochs of CelebA's 162,770 training faces; the paper doesn't say",
            9.80, 23.69, 0.39, 3.5,
            "any faces, 64 pixels; labels are not looked at",
            remark="the generator of ganid's search (`facelab search`), which trains nothing else",
        ),
        Plan(
            "began",
            "celeba",
            400_000,
            16,
            "the rate halves up to step 300,000; the paper doesn't say",
            309.37, 16.97, 0.27, 225.1,
            "any faces, 128 pixels",
            "about 2.5 days on four P100 (section 4)",
        ),
        Plan(
            "stylegan2",
            "ffhq",
            781_250,
            32,
            "25 million images, as the paper's configuration F",
            1213.75, 58.90, 0.95, 973.9,
            "any faces, 256 pixels",
            "only for 1024 pixels",
        ),
        Plan(
            "stylegan2-distillation",
            "samples:50000",
            100_000,
            32,
            "no paper's, ours",
            405.69, 53.31, 0.87, 263.6,
            "none: faces are counted, not looked at; the teacher is the asset gan-face-generate",
        ),
        Plan(
            "ganfaces",
            "RENDERS+PHOTOS+PAIRS",
            248_000,
            16,
            "the paper's (section 4)",
            263.53, 18.34, 0.32, 248.1,
            "three of 108 pixels: renders with people (anny-faces:108x10000x50, or a packed file), "
            "photographs (casia-webface@108), and the pairs of data_scripts/w300_lp_pairs.py",
            "about 70 hours on one GTX 1080 Ti (section 4)",
            remark="the set-based loss looks through dlib's recogniser, the paper's through a "
            "network pre-trained on VGG-Face",
        ),
        Plan(
            "diat:mouth_open",
            "celeba:to:Mouth_Slightly_Open",
            120_000,
            16,
            "20,000 of pre-training and 100,000 of the game; the paper doesn't say",
            19.82, 10.35, 0.25, 49.3,
            "faces with attributes, 128 pixels, the middle of CelebA's aligned ones or book64; "
            "DATA:to:NAME or DATA:to:no-NAME for the other tasks",
            "a GTX Titan X of 12 GB, no hours (section 5.1)",
        ),
        Plan(
            "diat-enhancement",
            "celeba",
            40_000,
            16,
            "the paper doesn't say, ours",
            6.61, 0.02, 0.03, 10.0,
            "the same faces, framed like book64: the mask is found from their pixels",
            options="--after T.safetensors",
            remark="T.safetensors is what export_weights of facelab.engine.export wrote of diat's "
            "run; counted for a local task: E of a global one is like T, 24.63 GFLOP an image",
        ),
        Plan(
            "idmap:FILE",
            "idmap.facepack",
            200_000,
            6,
            "the paper says a day and no steps; ours",
            244.67, 30.09, 0.88, 725.0,
            "faces drawn by the generator with their latent vectors, no photographs: "
            "python data_scripts/idmap_faces.py --generator FILE --embedder facenet-vggface2 "
            "--framing ffhq256 --count 70000",
            "roughly a day on one Titan Xp (section 3.3)",
            remark="FILE is what python data_scripts/stylegan2_ffhq.py stylegan2-ffhq-256 keeps; "
            "FaceNet's weights come by python data_scripts/facenet.py facenet-vggface2",
        ),
        Plan(
            "lord",
            "celeba",
            508_656,
            64,
            "200 epochs of CelebA's 162,770 training faces; ours",
            30.00, 36.63, 0.61, 31.3,
            "faces with people, 64 pixels, framed like book64; they are numbered, and people with "
            "one picture left out",
        ),
        Plan(
            "lord-encoders",
            "celeba",
            508_656,
            64,
            "200 epochs; ours",
            34.55, 15.95, 0.39, 39.2,
            "those of the first stage, lord",
            options="--after LORD.safetensors",
            remark="LORD.safetensors is what export_weights wrote of lord's run",
        ),
        Plan(
            "d2ae",
            "casia-webface",
            79_825,
            192,
            "31 epochs, as the paper, of 494,414 pictures; of its own 4 million they are 581,250",
            137.15, 113.16, 1.65, 254.8,
            "faces with people, 235 pixels; the classifiers have as many people as they do, those "
            "with one picture are left out, rates fall every 10 epochs of these data",
            "16 Titan X, no hours (section 4.2)",
            remark="its own set, MS-Celeb-1M, is withdrawn; counted for its 80,000 people",
        ),
    )
}  # fmt: skip


def find(method: str) -> Plan:
    """Return the plan of a method's PAPER preset. Raises `ParameterError` when there is none."""
    name = method.partition(":")[0]
    if name not in PLANS:
        raise ParameterError(f"there is no plan for {method!r}; choose one of: {', '.join(PLANS)}")
    return PLANS[name]
