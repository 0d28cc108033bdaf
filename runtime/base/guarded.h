// What is under which lock, in a form that clang checks: make lint compiles everything with -Wthread-safety.
// Nothing in other compilers.
//
// Source: clang's Thread Safety Analysis (https://clang.llvm.org/docs/ThreadSafetyAnalysis.html), whose names these are.
#pragma once

#ifdef __clang__
#define RT0_THREAD_SAFETY(x) __attribute__((x))
#else
#define RT0_THREAD_SAFETY(x)
#endif

#define CAPABILITY(name) RT0_THREAD_SAFETY(capability(name))
#define SCOPED_CAPABILITY RT0_THREAD_SAFETY(scoped_lockable)
#define GUARDED_BY(lock) RT0_THREAD_SAFETY(guarded_by(lock))
#define REQUIRES(...) RT0_THREAD_SAFETY(requires_capability(__VA_ARGS__))
#define ACQUIRE(...) RT0_THREAD_SAFETY(acquire_capability(__VA_ARGS__))
#define TRY_ACQUIRE(...) RT0_THREAD_SAFETY(try_acquire_capability(__VA_ARGS__))
// For a function that names a lock where the object that it lies in is not declared yet: it is never defined, only
// GUARDED_BY and REQUIRES mention it, and whoever declares the object declares it again, with this.
#define LOCK_RETURNED(x) RT0_THREAD_SAFETY(lock_returned(x))
#define ASSERT_CAPABILITY(x) RT0_THREAD_SAFETY(assert_capability(x))
#define RELEASE(...) RT0_THREAD_SAFETY(release_capability(__VA_ARGS__))
// For what clang cannot follow; each use says what holds the lock instead.
#define NO_THREAD_SAFETY_ANALYSIS RT0_THREAD_SAFETY(no_thread_safety_analysis)
