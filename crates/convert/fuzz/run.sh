#!/usr/bin/env bash
# Fuzzes every reader, or those named, for so many seconds each, from the golden files:
#     cargo install cargo-fuzz && crates/convert/fuzz/run.sh 300 [caffe ..]
# Stable Rust will do: without a sanitizer cargo-fuzz needs no other compiler.
set -euo pipefail
cd "$(dirname "$0")"
golden=../tests/golden
seconds=${1:-300}
chosen=" ${*:2} "

fuzz() {
    target=$1
    shift
    if [ "$chosen" != "  " ] && [[ "$chosen" != *" $target "* ]]; then
        return
    fi
    mkdir -p "corpus/$target"
    cp "$@" "corpus/$target"
    echo "fuzz: $target"
    cargo fuzz run --sanitizer none --release "$target" -- \
        -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 -print_final_stats=1 2>&1 |
        tee "corpus/$target.log" | grep -E "^stat::(number_of_executed_units|peak_rss_mb)|ERROR|panicked"
}

printf 'Ann\nBob\n' > labels.txt
fuzz keras "$golden"/*.h5 "$golden"/*.keras
fuzz caffe "$golden"/*.caffemodel
fuzz matconvnet "$golden"/*.mat
fuzz pytorch "$golden"/*.pth "$golden"/*.pt
fuzz torch7 "$golden"/*.t7
fuzz onnx "$golden"/*.onnx
fuzz safetensors "$golden"/*.safetensors
fuzz labels labels.txt
