// The context that a signal interrupted, for either processor.
#pragma once

#if defined(__x86_64__)
#include "arch/amd64/ucontext.h"
#elif defined(__aarch64__)
#include "arch/arm64/ucontext.h"
#else
#error "rt0 has no port to this processor (amd64 and arm64 exist)"
#endif
