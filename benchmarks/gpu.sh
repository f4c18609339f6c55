#!/usr/bin/env bash
# Builds, tests and measures lcx_fast on a machine with an NVIDIA GPU; one table and one JSON at the end.
#
#   benchmarks/gpu.sh [--quick] [--minutes N] [--out DIR] [--python PYTHON] [--offline] [--wheels DIR]
#                     [--only STEPS] [--skip STEP]... [--dry-run]
#   benchmarks/gpu.sh --collect DIR
#
#   --quick        fewer repetitions, smaller sets
#   --minutes N    be done after so many: a step that runs by then is ended, and what it had is kept
#   --out DIR      summary.txt, results.json, table.md and the steps' logs, seven files (default: gpu-results)
#   --python P     a Python with torch and CuPy (default: python3)
#   --offline      no network: nothing is downloaded, and only the kernels' own tests run
#   --wheels DIR   --offline, with what that Python lacks from this folder
#   --collect DIR  on a machine with a network and the same Python: download these tools and do nothing else
#   --only STEPS   of build, tests, measure and sanitizer, in this order, with commas; the build is kept between calls
#   --skip STEP    all but this one; may be given several times
#   --dry-run      no GPU: say what would be done, and run the measuring program on the CPU's emulation of CUDA, which
#                  shows that it works and measures nothing
#
# Needs nvcc, a C++20 compiler, nvidia-smi, and a Python with torch and CuPy. TensorRT, MONAI and onnxruntime-gpu are
# measured where that Python has them; without TensorRT the line runs torch's network, captured, and says so. A step
# that fails is told and those after it are done; only without a build there is nothing to do. Exit codes: 0 done, 1 a
# step failed, was ended, or a result is not the CPU's, 2 bad usage, 3 something is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

quick="" out=gpu-results python=python3 dry="" offline="" wheels="" collect="" minutes=""
steps=" build tests measure sanitizer "
tools=(scikit-build-core pybind11 cmake ninja pytest pytest-timeout hypothesis)
die() { echo "gpu.sh: $2" >&2; exit "$1"; }
known() { # known OPTION STEP
  case "$2" in build | tests | sanitizer | measure) ;;
    *) die 2 "$1 $2; accepted: build, tests, sanitizer, measure" ;;
  esac
}
while [ $# -gt 0 ]; do
  case "$1" in
    --quick) quick=--quick ;;
    --dry-run) dry=1 ;;
    --offline) offline=1 ;;
    --out | --python | --only | --skip | --wheels | --collect | --minutes)
      [ $# -ge 2 ] || die 2 "$1 needs a value"
      case "$1" in
        --out) out=$2 ;;
        --python) python=$2 ;;
        --wheels) wheels=$2 offline=1 ;;
        --collect) collect=$2 ;;
        --minutes)
          [[ $2 =~ ^[1-9][0-9]*$ ]] || die 2 "--minutes $2; a whole number from 1 on is needed"
          minutes=$2 ;;
        --only)
          for step in ${2//,/ }; do known --only "$step"; done
          steps=" ${2//,/ } " ;;
        --skip)
          known --skip "$2"
          steps=${steps/" $2 "/ } ;;
      esac
      shift ;;
    -h | --help) sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    *) die 2 "unknown option $1; see --help" ;;
  esac
  shift
done

if [ -n "$collect" ]; then
  exec "$python" -m pip download --disable-pip-version-check --quiet -c constraints.txt --dest "$collect" \
    "${tools[@]}" pydicom
fi
[ -z "$wheels" ] || [ -d "$wheels" ] || die 2 "--wheels $wheels: no such folder; --collect fills one"

if [ -z "$dry" ]; then
  for tool in nvcc nvidia-smi c++; do command -v "$tool" >/dev/null || die 3 "no $tool on PATH"; done
  for package in torch cupy; do
    "$python" -c "import $package" 2>/dev/null || die 3 "$python has no $package; --python names another one"
  done
  "$python" -c 'import cupy; raise SystemExit(cupy.cuda.runtime.getDeviceCount() == 0)' 2>/dev/null ||
    die 3 "no usable GPU"
fi

mkdir -p "$out"
failed=0 ended=$((SECONDS + 60 * ${minutes:-1000000}))
[ -n "$dry" ] || : >"$out/summary.txt"
tell() { if [ -n "$dry" ]; then echo "$1"; else echo "$1" | tee -a "$out/summary.txt"; fi; }
wanted() { [[ $steps == *" $1 "* ]]; }
step() { # step NAME LOG SECONDS COMMAND...: runs it, for so long at most, its output added to LOG; tells how it went
  local name=$1 log=$out/$2 most=$3 began=$SECONDS code=0
  shift 3
  if [ -n "$dry" ]; then
    echo "== $name"
    printf '   %q' "$@"
    echo
    return 0
  fi
  [ "$most" -lt $((ended - SECONDS)) ] || most=$((ended - SECONDS))
  if [ "$most" -lt 5 ]; then
    tell "== $name: not done, the $minutes minutes are over"
    failed=1
    return 1
  fi
  if [ "$(type -t "$1")" = function ]; then "$@" >>"$log" 2>&1 || code=$?
  else timeout --kill-after=10 "$most" "$@" >>"$log" 2>&1 || code=$?; fi
  if [ $code -eq 0 ]; then
    tell "== $name: done in $((SECONDS - began)) s; $log"
    return 0
  fi
  failed=1
  [ $code -ne 124 ] && [ $code -ne 137 ] || name="$name (ended after $most s)"
  tell "== $name: FAILED with $code after $((SECONDS - began)) s; $log ends:"
  tell "$(tail -n 15 "$log")"
  return 1
}

# An environment of its own, kept between calls, that sees what the given Python has: torch, CuPy, peers, tools. That
# one may be an environment too, which --system-site-packages would look past; and its pip serves for both.
venv=build/gpu-venv bin=build/gpu-venv/bin
make_environment() {
  "$python" -m venv --without-pip --system-site-packages "$venv"
  "$python" -c 'import sys; print(*(p for p in sys.path if p.endswith("-packages")), sep="\n")' \
    >"$("$bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/given.pth"
  "$bin/python" -m pip --version || "$bin/python" -m ensurepip
}
lacking() { # of these packages, those that the environment does not see
  "$bin/python" - "$@" <<'END'
import importlib.metadata, sys
for name in sys.argv[1:]:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        print(name)
END
}
if [ -n "$dry" ]; then bin=$(dirname "$(command -v "$python")"); fi

if wanted build; then
  if [ -z "$dry" ]; then
    rm -f "$out"/{build,tests,measure,sanitizer}.log
    {
      nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,clocks.max.mem,power.limit --format=csv
      nvcc --version | tail -n 2
      c++ --version | head -n 1
      "$python" -c 'import cupy, torch; print("torch", torch.__version__, "cupy", cupy.__version__)'
    } >>"$out/summary.txt" 2>&1 || true
  fi
  step "environment" build.log 120 make_environment || die 1 "no environment, so there is nothing to do"
  from=() package='.[dev]'
  if [ -n "$offline" ]; then from=(--no-index) package=.; fi
  [ -z "$wheels" ] || from+=(--find-links "$wheels")
  missing=("${tools[@]}")
  [ -n "$dry" ] || mapfile -t missing < <(lacking "${tools[@]}")
  if [ ${#missing[@]} -gt 0 ]; then
    step "tools: ${missing[*]}" build.log 300 "$bin/python" -m pip install "${from[@]}" -c constraints.txt \
      "${missing[@]}" || die 1 "tools are missing, so nothing can be built"
  fi
  [ -z "$wheels" ] || [ -n "$dry" ] || [ -z "$(lacking pydicom)" ] ||  # to read films with
    step "pydicom" build.log 60 "$bin/python" -m pip install "${from[@]}" --no-deps pydicom || true
  [ -z "$offline" ] || from+=(--no-deps)
  # Another compiler has other warnings: they are for those who work on the code.
  step "build with CUDA" build.log 600 "$bin/python" -m pip install "${from[@]}" -c constraints.txt \
    --no-build-isolation --editable "$package" -C cmake.define.LCX_CUDA=ON \
    -C cmake.define.LCX_CUDA_ARCHITECTURES="${LCX_CUDA_ARCHITECTURES:-native}" \
    -C cmake.define.LCX_WARNINGS_AS_ERRORS=OFF || die 1 "without a build there is nothing to do"
fi
if wanted tests; then
  files=()
  [ -z "$offline" ] || files=(tests/test_cuda_{arrays,breast,line,overlaps,regions,tiles,values}.py)
  step "every CUDA test, none skipped" tests.log 400 env LCX_REQUIRE_CUDA=1 "$bin/python" -m pytest -q -m cuda \
    "${files[@]}" || true
fi
if wanted measure; then
  if [ -n "$dry" ]; then
    "$python" benchmarks/gpu_run.py --emulate --quick --size 700x500 --out "$out"
  else
    # Ends by itself a little before it would be ended, so that the table is whole.
    left=$((ended - SECONDS - 20)) limit=()
    [ -z "$minutes" ] || limit=(--minutes "$((left > 60 ? left / 60 : 1))")
    step "measurements" measure.log 3600 "$bin/python" -u benchmarks/gpu_run.py $quick "${limit[@]}" --out "$out" || true
  fi
fi
if wanted sanitizer; then
  # Last, since it measures nothing. Our kernels alone: others' reads of padding and API calls that may fail are
  # theirs. What a download holds past the results was never written, and is never read.
  for tool in memcheck racecheck synccheck initcheck; do
    options=()
    [ $tool = memcheck ] && options=(--report-api-errors no)
    [ $tool = initcheck ] && options=(--check-api-memory-access no)
    step "compute-sanitizer $tool" sanitizer.log 300 compute-sanitizer --tool $tool "${options[@]}" \
      --error-exitcode 9 --kernel-name kernel_substring=lcx "$bin/python" benchmarks/gpu_run.py --once --size 700x500 || true
  done
fi
[ -n "$dry" ] || [ ! -f "$out/table.md" ] || cat "$out/table.md"
exit $failed
