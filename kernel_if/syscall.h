// Raw system calls for the files of this folder: -errno in the result, errno untouched.
// Arguments are integers or pointers; what is left out is passed as 0.  Each call says how tests make it fail, or
// that it cannot.
#pragma once
#include <sys/syscall.h>

#include <type_traits>

#include "kernel_if/inject.h"

#if defined(__x86_64__)
#include "arch/amd64/syscall.h"
#elif defined(__aarch64__)
#include "arch/arm64/syscall.h"
#else
#error "rt0 has no port to this processor (amd64 and arm64 exist)"
#endif

namespace rt0::kernel {

template <class T>
inline long syscall_arg(T v) {
    if constexpr (std::is_pointer_v<T>)
        return reinterpret_cast<long>(v);
    else if constexpr (std::is_null_pointer_v<T>)
        return 0;
    else
        return static_cast<long>(v);
}

// A call to which the kernel has no error to give with the arguments it gets here, or whose failure leaves the caller
// nothing to answer.
template <class A = long, class B = long, class C = long, class D = long, class E = long, class F = long>
inline long sysc_sure(long nr, A a = {}, B b = {}, C c = {}, D d = {}, E e = {}, F f = {}) {
    return arch::syscall6(nr, syscall_arg(a), syscall_arg(b), syscall_arg(c), syscall_arg(d), syscall_arg(e),
                          syscall_arg(f));
}

// A call that may be refused: as `call` in tests.
template <class... A>
inline long sysc(inject call, long nr, A... a) {
    if (int e = injected(call)) return e;
    return sysc_sure(nr, a...);
}

}  // namespace rt0::kernel
