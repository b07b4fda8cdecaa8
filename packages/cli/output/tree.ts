/** A tree in the way `git log --graph` or `tree` would draw it. */

export interface Branch {
  readonly text: string
  readonly children: readonly Branch[]
}

export function tree(root: Branch): string {
  return [root.text, ...branches(root.children, '')].join('\n')
}

function branches(children: readonly Branch[], indent: string): string[] {
  return children.flatMap((child, i) => {
    const last = i === children.length - 1
    return [`${indent}${last ? '└─ ' : '├─ '}${child.text}`, ...branches(child.children, indent + (last ? '   ' : '│  '))]
  })
}
