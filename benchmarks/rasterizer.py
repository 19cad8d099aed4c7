"""The rasteriser against a ray caster, warp-lang's mesh query: same heads, one run, two cores.

Prints a record and writes it to runs/bench/rasterizer.json: heads a second for both at several
sizes, the ratio, in how many pixels both show the same triangle, and what whole pictures cost. The
two take turns and the best turn of each counts, so that a machine with other work to do is fair to
both. Warp's kernels use one core of a CPU, so there are rates for one thread, too.
Needs warp-lang: `pip install warp-lang`.
"""

import argparse
import importlib.metadata
import importlib.util
import math
from pathlib import Path

import torch
from recording import best_seconds, record

from facelab.geometry.camera import Camera, rotation_from_euler
from facelab.geometry.lighting import Light, shade
from facelab.geometry.morphable import anny_head
from facelab.geometry.rasterize import draw, supersample, vertex_normals

ROOT = Path(__file__).parents[1]
SIZES = (64, 128, 256)


def heads(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random heads that look about: vertices (count, V, 3) in mm, and their triangles."""
    model, random = anny_head(), torch.Generator().manual_seed(0)
    vertices = model.shape(model.sample_identity(count, random))
    most_rad = torch.tensor([[math.radians(a)] for a in (45.0, 20.0, 15.0)])
    yaw, pitch, roll = (torch.rand(3, count, generator=random) * 2 - 1) * most_rad
    return vertices @ rotation_from_euler(yaw, pitch, roll).mT, model.triangles


class RayCaster:
    """One ray through the centre of each pixel, the nearest hit of warp's mesh query."""

    def __init__(self, vertices: torch.Tensor, triangles: torch.Tensor, camera: Camera) -> None:
        import warp as wp

        wp.config.quiet = True
        wp.init()
        self.wp = wp
        self.vertices = wp.from_torch(vertices.contiguous(), dtype=wp.vec3)
        self.triangles = wp.from_torch(triangles.flatten().int().contiguous(), dtype=wp.int32)
        self.camera = camera
        self.kernel = _kernel(wp)
        self.mesh = self._build(0)

    def _build(self, head: int):
        return self.wp.Mesh(points=self.wp.clone(self.vertices[head]), indices=self.triangles)

    def cast(self, size: int, *, rebuild: bool) -> torch.Tensor:
        """Return the triangle of each pixel, -1 for none, for one head after the other."""
        wp, count = self.wp, self.vertices.shape[0]
        shape = (count, size, size)
        triangle = wp.empty(shape, dtype=wp.int32, device="cpu")
        places = wp.empty(shape, dtype=wp.vec2, device="cpu")
        distance = wp.empty(shape, dtype=wp.float32, device="cpu")
        focal, depth = float(self.camera.focal_px[0]), float(self.camera.translation_mm[0, 2])
        for head in range(count):
            if rebuild:
                self.mesh = self._build(head)
            else:
                wp.copy(self.mesh.points, self.vertices[head])
                self.mesh.refit()
            outputs = [triangle[head], places[head], distance[head]]
            inputs = [self.mesh.id, focal, (size - 1) / 2, depth]
            wp.launch(self.kernel, (size, size), inputs=inputs, outputs=outputs, device="cpu")
        return wp.to_torch(triangle).long()


def _kernel(wp):
    @wp.kernel
    def cast(
        mesh: wp.uint64,
        focal: float,
        centre: float,
        depth: float,
        triangle: wp.array2d(dtype=wp.int32),
        places: wp.array2d(dtype=wp.vec2),
        distance: wp.array2d(dtype=wp.float32),
    ):
        row, column = wp.tid()
        x = (float(column) - centre) / focal
        y = (float(row) - centre) / focal
        towards = wp.normalize(wp.vec3(x, -y, -1.0))
        hit = wp.mesh_query_ray(mesh, wp.vec3(0.0, 0.0, depth), towards, 1.0e6)
        triangle[row, column] = -1
        if hit.result:
            triangle[row, column] = hit.face
            places[row, column] = wp.vec2(hit.u, hit.v)
            distance[row, column] = -hit.t * towards[2]

    return cast


def measure(count: int, turns: int, threads: int) -> dict:
    """Measure both at every size, and compare what they show."""
    vertices, triangles = heads(count)
    rates, times, agreement = {}, {}, {}
    for size in SIZES:
        camera = Camera.portrait(size, batch=count)
        caster = RayCaster(vertices, triangles, camera)
        shape = (size, size)
        competitors = {
            "ray caster, tree built": lambda c=caster, s=size: c.cast(s, rebuild=True),
            "ray caster, tree refitted": lambda c=caster, s=size: c.cast(s, rebuild=False),
            "rasteriser": lambda c=camera, s=shape: draw(c, vertices, triangles, s),
            "rasteriser, backs culled": lambda c=camera, s=shape: draw(
                c, vertices, triangles, s, cull=True
            ),
        }
        seconds = best_seconds(competitors, turns)
        torch.set_num_threads(1)
        alone = {f"{k}, 1 thread": v for k, v in competitors.items() if k.startswith("rasteriser")}
        seconds |= best_seconds(alone, max(1, turns // 2))
        torch.set_num_threads(threads)
        rates[f"{size} px"] = {name: count / value for name, value in seconds.items()}
        caster_best = min(v for name, v in seconds.items() if name.startswith("ray"))
        times[f"{size} px"] = {k: caster_best / v for k, v in seconds.items() if "raster" in k}
        theirs = caster.cast(size, rebuild=True)
        agreement[f"{size} px"] = {
            name: float((theirs == run().triangle).float().mean())
            for name, run in competitors.items()
            if name.startswith("rasteriser")
        }
    return {
        "heads": count,
        "triangles of a head": len(triangles),
        "vertices of a head": vertices.shape[1],
        "heads per second": rates,
        "times the ray caster": times,
        "share of pixels with the same triangle": agreement,
        "pictures per second, shaded, 128 px": pictures(vertices, triangles, turns),
    }


def pictures(vertices: torch.Tensor, triangles: torch.Tensor, turns: int) -> dict[str, float]:
    """Whole pictures: normals, light and colour at each vertex, drawn with and without samples."""
    count = len(vertices)
    camera, light = Camera.portrait(128, batch=count), Light.preset("left", batch=count)

    def picture(samples: int) -> torch.Tensor:
        normals = vertex_normals(vertices, triangles)
        colours = shade(torch.full_like(vertices[:1], 0.6), normals, light)
        return supersample(
            camera, vertices, triangles, colours, size=(128, 128), samples=samples, cull=True
        )[0]

    runs = {f"{n} x {n} samples": (lambda n=n: picture(n)) for n in (1, 2, 3)}
    return {name: count / value for name, value in best_seconds(runs, turns).items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--heads", type=int, default=32)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=ROOT / "runs/bench/rasterizer.json")
    options = parser.parse_args()
    if importlib.util.find_spec("warp") is None:
        raise SystemExit("the ray caster needs warp-lang; install it: pip install warp-lang")
    record(
        "the rasteriser and warp-lang's mesh query, same heads, one run",
        options.output,
        options.threads,
        lambda: measure(options.heads, options.turns, options.threads),
        warp=importlib.metadata.version("warp-lang"),
    )


if __name__ == "__main__":
    with torch.inference_mode():
        main()
