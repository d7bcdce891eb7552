/*
 * tests/fuzz/fuzz.h - one fuzz target per layer, driven in two ways.
 *
 * A target is a file fuzz_<layer>.c with the one function below. Its first byte
 * chooses the decoder, so that a layer stays one target and one corpus. Inputs
 * of any length must come back with 0; a broken property traps.
 *
 *     tests/fuzz/run <layer> <seconds>   clang's libFuzzer, which looks for new inputs
 *     replay.c (suite fast)              the corpus, and some thousand mutations of
 *                                        it that are the same on every machine
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#endif /* TESTS_FUZZ_FUZZ_H */
