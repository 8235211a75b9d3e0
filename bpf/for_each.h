// Applies a macro to every argument of a variadic macro: what turns one list (probes.def, events.def) into
// structures, emitters, tables and programs. Plain preprocessor, for C (BPF programs) and C++20 alike.
//
//   GB_EACH(apply, a, b, c)   apply(a) apply(b) apply(c)
//   GB_LIST(apply, a, b, c)   apply(a), apply(b), apply(c)
//   GB_COUNT(a, b, c)         (0 + 1 + 1 + 1)
//
// At most 16 arguments: the preprocessor does not expand a macro inside itself, so each step only names the
// next one, and GB_RESCAN looks at the result again until no step is left. An event has at most 12.
#ifndef GLASSBOX_BPF_FOR_EACH_H
#define GLASSBOX_BPF_FOR_EACH_H

#define GB_RESCAN(...) GB_RESCAN_4(GB_RESCAN_4(GB_RESCAN_4(GB_RESCAN_4(__VA_ARGS__))))
#define GB_RESCAN_4(...) GB_RESCAN_1(GB_RESCAN_1(GB_RESCAN_1(GB_RESCAN_1(__VA_ARGS__))))
#define GB_RESCAN_1(...) __VA_ARGS__
#define GB_PARENTHESES ()

#define GB_EACH(apply, ...) __VA_OPT__(GB_RESCAN(GB_EACH_STEP(apply, __VA_ARGS__)))
#define GB_EACH_STEP(apply, first, ...) \
  apply(first) __VA_OPT__(GB_EACH_NEXT GB_PARENTHESES(apply, __VA_ARGS__))
#define GB_EACH_NEXT() GB_EACH_STEP

#define GB_LIST(apply, ...) __VA_OPT__(GB_RESCAN(GB_LIST_STEP(apply, __VA_ARGS__)))
#define GB_LIST_STEP(apply, first, ...) \
  apply(first) __VA_OPT__(, GB_LIST_NEXT GB_PARENTHESES(apply, __VA_ARGS__))
#define GB_LIST_NEXT() GB_LIST_STEP

#define GB_COUNT(...) (0 GB_EACH(GB_PLUS_ONE, __VA_ARGS__))
#define GB_PLUS_ONE(arg) +1

#endif /* GLASSBOX_BPF_FOR_EACH_H */
